@echo off
rem Install what is needed into .venv (once, and again when requirements.txt changes), then open the window.
rem   launch.bat             open the window          launch.bat --demo   train and draw once, no window
rem   launch.bat --test      run all tests            other options go to app.py
setlocal
cd /d "%~dp0"

if exist ".venv\Scripts\python.exe" (
    ".venv\Scripts\python.exe" -c "" 2>nul && goto installed
    rmdir /s /q .venv
)
set "PYTHON_FOUND="
for %%P in ("py -3.12" "py -3.13" "py -3.11" "py -3.14" "python") do if not defined PYTHON_FOUND (
    %%~P -c "import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))" >nul 2>nul && set "PYTHON_FOUND=%%~P"
)
if not defined PYTHON_FOUND (
    echo LoRA Studio needs Python 3.11, 3.12, 3.13 or 3.14, and found none.
    echo Get Python 3.12 from https://www.python.org/downloads/ , tick "Add python.exe to PATH", and start again.
    pause
    exit /b 1
)
%PYTHON_FOUND% -m venv .venv || goto failed

:installed
call :ensure requirements.txt installed-requirements.txt || goto failed
if "%~1"=="--demo" goto demo
if "%~1"=="--test" goto test
".venv\Scripts\python.exe" app.py %*
if errorlevel 1 pause
exit /b %errorlevel%

:demo
".venv\Scripts\python.exe" -m lora_gui demo --json %2 %3
exit /b %errorlevel%

:test
call :ensure tests\requirements.txt installed-tests-requirements.txt || goto failed
".venv\Scripts\python.exe" -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder %2 %3 %4 %5
exit /b %errorlevel%

rem uv picks the torch build for this computer's graphics card; the default one for Windows has no CUDA.
:ensure
fc /b "%~1" ".venv\%~2" >nul 2>nul && exit /b 0
echo Installing what %~1 lists; the first time this takes some minutes ...
".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1" || exit /b 1
".venv\Scripts\python.exe" -m uv pip install --quiet --python ".venv\Scripts\python.exe" --torch-backend=auto -r "%~1" || exit /b 1
copy /y "%~1" ".venv\%~2" >nul
exit /b 0

:failed
echo Installing did not work. Check the internet connection and the free disk space (about 8 GB), then start again.
pause
exit /b 1
