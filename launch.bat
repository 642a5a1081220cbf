@echo off
rem Install what the lock file lists into .venv (once, and again when it changes), then open the window.
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
    %%~P -c "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))" >nul 2>nul && set "PYTHON_FOUND=%%~P"
)
if not defined PYTHON_FOUND (
    echo LoRA Studio needs Python 3.11, 3.12, 3.13 or 3.14, and found none.
    echo Get Python 3.12 from https://www.python.org/downloads/ , tick "Add python.exe to PATH", and start again.
    pause
    exit /b 1
)
%PYTHON_FOUND% -m venv .venv || goto failed

:installed
call :ensure requirements installed-requirements || goto failed
if "%~1"=="--demo" goto demo
if "%~1"=="--test" goto test
".venv\Scripts\python.exe" app.py %*
if errorlevel 1 pause
exit /b %errorlevel%

:demo
".venv\Scripts\python.exe" -m lora_gui demo --json %2 %3
exit /b %errorlevel%

:test
call :ensure tests\requirements installed-tests-requirements || goto failed
".venv\Scripts\python.exe" -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder %2 %3 %4 %5
exit /b %errorlevel%

rem ensure FILE STAMP: the packages FILE.txt names, in the versions and with the hashes of FILE.lock; once for each content.
rem uv takes the build of torch that is made for this computer's card, unless wheels lie at hand that pip was told of.
:ensure
copy /b /y "%~1.txt" + "%~1.lock" ".venv\wanted" >nul || exit /b 1
fc /b ".venv\wanted" ".venv\%~2" >nul 2>nul && exit /b 0
echo Installing what %~1.lock lists; the first time this takes some minutes ...
if not defined UV_FIND_LINKS if defined PIP_FIND_LINKS set "UV_FIND_LINKS=%PIP_FIND_LINKS%"
if not defined UV_FIND_LINKS if not defined UV_TORCH_BACKEND set "UV_TORCH_BACKEND=auto"
".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check uv -c requirements.txt || exit /b 1
".venv\Scripts\python.exe" -m uv pip install --quiet --python ".venv\Scripts\python.exe" -r "%~1.txt" -c "%~1.lock" || exit /b 1
move /y ".venv\wanted" ".venv\%~2" >nul
exit /b 0

:failed
echo Installing did not work. Check the internet connection and the free disk space (about 8 GB), then start again.
pause
exit /b 1
